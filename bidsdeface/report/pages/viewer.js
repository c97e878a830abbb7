// The volumes of the scan that is shown, before and after: slices and surface, by NiiVue.
const viewer = (() => {
  const box = document.getElementById("viewer"), canvas = box.querySelector("canvas");
  const [flicker, outline] = box.querySelectorAll("button"), state = box.querySelector("output");
  let view = null, shown = null, frames = 1;
  function load(name) {
    return new Promise((give, fail) => {
      window.giveVolumes = give;
      const script = Object.assign(document.createElement("script"), { src: name, onerror: fail });
      script.onload = () => script.remove();
      document.head.append(script);
    });
  }
  async function start() {
    const look = { backColor: [0, 0, 0, 1], crosshairWidth: 0.5, multiplanarShowRender: 1, renderOverlayBlend: 0 };
    view = new niivue.Niivue({ ...look, logLevel: "error" });
    await view.attachToCanvas(canvas);
    await view.setVolumeRenderIllumination(0.6);
    view.setRenderAzimuthElevation(150, 10);
  }
  async function show(section) {
    shown = section;
    box.hidden = !section.dataset.volumes;
    if (box.hidden) return;
    section.querySelector("h2").after(box);
    try {
      if (!view) await start();
      const parts = await load(section.dataset.volumes);
      if (shown !== section) return;
      for (const volume of [...view.volumes]) view.removeVolume(volume);
      for (const [index, base64] of parts.entries()) {
        const look = index ? { colormap: "red", opacity: 1, cal_min: 0.5, cal_max: 1 } : { cal_min: 0, cal_max: 255 };
        view.addVolume(await niivue.NVImage.loadFromBase64({ base64, name: `${index}.nii.gz`, ...look }));
      }
      frames = view.volumes[0].nFrame4D;
      set(frames - 1);
      box.dataset.shows = section.dataset.scan;
    } catch (error) {
      box.replaceChildren("This browser cannot show volumes (WebGL2 is missing or switched off); the picture below shows the same head.");
    }
  }
  function set(frame) {
    view.setFrame4D(view.volumes[0].id, frame);
    state.textContent = frame ? "after" : "before";
  }
  const flip = () => view?.volumes.length && frames > 1 && set(1 - view.volumes[0].frame4D);
  function toggle() {
    const on = outline.getAttribute("aria-pressed") !== "true";
    outline.setAttribute("aria-pressed", on);
    if (view?.volumes[1]) view.setOpacity(1, Number(on));
  }
  flicker.addEventListener("click", flip);
  outline.addEventListener("click", toggle);
  return { show, flip, toggle };
})();
