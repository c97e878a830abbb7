// The volumes of the scan that is shown, before and after: slices and surface, by NiiVue.
const viewer = (() => {
  const box = document.getElementById("viewer"), canvas = box.querySelector("canvas");
  const [flicker, outline] = box.querySelectorAll("button"), state = box.querySelector("output");
  const rgb = (colour) => [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));
  const say = (button, text) => { button.querySelector("span").textContent = text; };
  const fault = box.appendChild(document.createElement("p"));
  let isOutlined = true, view = null, starting = null, shown = null, frames = 1, before = Promise.resolve();
  // One script at a time: each calls giveVolumes, which says nothing of where it comes from.
  function load(name) {
    before = before.then(() => new Promise((done) => {
      let given = null;
      window.giveVolumes = (texts) => { given = texts; };
      const script = Object.assign(document.createElement("script"), { src: name, onerror: () => done(null) });
      script.onload = () => (script.remove(), done(given));
      document.head.append(script);
    }));
    return before;
  }
  async function start() {
    const look = { backColor: [0, 0, 0, 1], crosshairWidth: 0.5, multiplanarShowRender: 1, renderOverlayBlend: 0 };
    const crosshairColor = [...rgb("{{ colours.crosshair }}").map((part) => part / 255), 1];
    view = new niivue.Niivue({ ...look, crosshairColor, logLevel: "error" });
    const [R, G, B] = rgb("{{ colours.mask }}").map((part) => [part, part]);
    view.addColormap("mask", { R, G, B, A: [0, 255], I: [0, 255] });
    await view.attachToCanvas(canvas);
    await view.setVolumeRenderIllumination(0.6);
    view.setRenderAzimuthElevation(150, 10);
  }
  async function show(section) {
    shown = section;
    box.hidden = !section.dataset.volumes;
    delete box.dataset.shows;
    if (box.hidden) return;
    section.querySelector("h2").after(box);
    fault.textContent = "";
    canvas.hidden = true; // until it shows this scan and no other
    try {
      starting ??= start();
      await starting;
      const parts = await load(section.dataset.volumes);
      if (shown !== section) return;
      if (!parts) throw new Error("not loaded");
      const volumes = await Promise.all(parts.map((base64, index) => {
        const look = index ? { colormap: "mask", opacity: Number(isOutlined), cal_min: 0.5, cal_max: 1 } : { cal_min: 0, cal_max: 255 };
        return niivue.NVImage.loadFromBase64({ base64, name: `${index}.nii.gz`, ...look });
      }));
      if (shown !== section) return;
      canvas.hidden = false;
      for (const volume of [...view.volumes]) view.removeVolume(volume);
      for (const volume of volumes) view.addVolume(volume);
      frames = view.volumes[0].nFrame4D;
      set(frames - 1);
      box.dataset.shows = section.dataset.scan;
    } catch (error) {
      if (shown !== section) return;
      fault.textContent = "The volumes cannot be shown (their file or WebGL2 is missing); the picture below shows the same head.";
    }
  }
  function set(frame) {
    view.setFrame4D(view.volumes[0].id, frame);
    state.textContent = frame ? "after defacing" : "before defacing, as it came";
    say(flicker, frame ? "show it before" : "show it after");
    flicker.hidden = frames < 2;
  }
  const flip = () => view?.volumes.length && frames > 1 && set(1 - view.volumes[0].frame4D);
  function toggle() {
    isOutlined = !isOutlined;
    say(outline, isOutlined ? "hide the outline" : "show the outline");
    if (view?.volumes[1]) view.setOpacity(1, Number(isOutlined));
  }
  flicker.addEventListener("click", flip);
  outline.addEventListener("click", toggle);
  return { show, flip, toggle };
})();
