// Decisions are kept in this browser until they are saved as review.tsv. Nothing leaves this machine.
(() => {
  const form = document.getElementById("review"), place = `bidsdeface review ${form.dataset.report}`;
  const page = decodeURIComponent(location.pathname.split("/").pop());
  // The list of all scans may be older than this page, which knows its own.
  const listed = typeof SCANS === "undefined" ? [] : SCANS, isOwn = (one) => one.page === page;
  const start = OWN.length && listed.some(isOwn) ? listed.findIndex(isOwn) : listed.length;
  const scans = [...listed.slice(0, start), ...OWN, ...listed.slice(start).filter((one) => !isOwn(one))];
  const known = new Map(scans.map((one) => [one.scan, one]));
  const sections = [...document.querySelectorAll("section[data-scan]")];
  let kept = { initials: "", decisions: {} }, isKept = true, current = null;

  function read() {
    try {
      kept = JSON.parse(localStorage.getItem(place)) ?? kept;
    } catch {
      isKept = false;
    }
    prune();
  }
  // What a run has followed is done with, and so is what was accepted of another input or mask.
  function prune() {
    for (const [scan, one] of Object.entries(kept.decisions)) {
      const now = known.get(scan);
      if (!now) continue; // a list that is missing or older says nothing of it
      const isDone = now.decision === one.decision && clean(now.note) === clean(one.note);
      const stays = one.decision === "rejected" || now.fingerprint === one.fingerprint;
      if (!stays || isDone) delete kept.decisions[scan];
    }
  }
  function change(values) {
    read();
    values(kept);
    prune();
    try {
      localStorage.setItem(place, JSON.stringify(kept));
    } catch {
      isKept = false;
    }
    update();
  }
  const of = (scan) => kept.decisions[scan] ?? known.get(scan);
  const decided = () => Object.entries(kept.decisions).filter(([scan, one]) => one.decision && known.has(scan));
  const isOpen = (one) => one.fingerprint && !of(one.scan).decision;
  function update() {
    for (const section of sections) {
      const { decision, note } = of(section.dataset.scan), fields = section.querySelector("fieldset");
      for (const field of fields?.querySelectorAll("input") ?? []) {
        if (field.type === "radio") field.checked = field.value === decision;
        else if (field !== document.activeElement) field.value = note;
      }
    }
    for (const row of document.querySelectorAll("tr[data-page]")) {
      const own = scans.filter((one) => one.page === row.dataset.page);
      for (const cell of row.querySelectorAll("[data-count]")) {
        const { count } = cell.dataset;
        cell.textContent = own.filter((one) => (count ? of(one.scan).decision === count : isOpen(one))).length;
      }
    }
    const [initials, , output] = form.elements;
    if (initials !== document.activeElement) initials.value = kept.initials;
    output.textContent = `${scans.filter(isOpen).length} of ${scans.length} scans undecided; ${saved()}`;
  }
  function decide(decision, section = current) {
    const scan = section.dataset.scan, { note } = of(scan), followed = known.get(scan), { fingerprint } = followed;
    // What a run has followed can be turned round, not undone.
    const chosen = decision ? { decision, time: new Date().toISOString() } : { decision: followed.decision, time: followed.time };
    if (fingerprint) change(({ decisions }) => { decisions[scan] = { ...chosen, note, fingerprint }; });
  }
  // One line, and nothing that a spreadsheet would compute.
  const clean = (text) => text.replace(/\s+/g, " ").replace(/^[\s=+\-@]+/, "").trim();
  function table() {
    const rows = decided().sort(([a], [b]) => (a < b ? -1 : 1)).map(([scan, { decision, note, fingerprint, time }]) => (
      [scan, decision, clean(note), clean(kept.initials), fingerprint, time]
    ));
    return [["scan", "decision", "note", "initials", "fingerprint", "time"], ...rows].map((row) => `${row.join("\t")}\n`).join("");
  }
  function saved() {
    const count = decided().length, decisions = `${count} ${count === 1 ? "decision" : "decisions"}`;
    if (kept.saved?.text === table()) return `${decisions} saved as review.tsv at ${kept.saved.time}`;
    const lines = kept.saved?.text.split("\n").slice(1, -1).map((line) => line.split("\t")) ?? [];
    if (!count && lines.length && lines.every(([scan, decision]) => known.get(scan)?.decision === decision)) {
      return "all decisions followed; nothing to save";
    }
    if (kept.saved) return `${decisions}; changed since review.tsv was saved at ${kept.saved.time}`;
    return `${decisions} to save`;
  }
  function save() {
    const text = table();
    const href = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
    Object.assign(document.createElement("a"), { href, download: "review.tsv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60000);
    change((all) => { all.saved = { text, time: new Date().toTimeString().slice(0, 5) }; });
  }
  function show(section) {
    current = section;
    for (const one of sections) one.hidden = one !== section;
    history.replaceState(null, "", `#${encodeURIComponent(section.dataset.name)}`); // no id, to which a browser would scroll
    viewer.show(section);
  }
  function go(step) {
    const here = scans.findIndex((one) => one.scan === current?.dataset.scan);
    const next = sections.length ? scans[here + step] : scans.find(isOpen) ?? scans[0];
    if (!next) return;
    if (next.page === page) show(sections.find((one) => one.dataset.scan === next.scan));
    else {
      current = null; // a key that is pressed while the next page opens is about no scan
      location.href = `${encodeURIComponent(next.page)}#${encodeURIComponent(next.name)}`;
    }
  }
  const keys = {
    n: () => go(1), p: () => go(-1), a: () => decide("accepted"), r: () => decide("rejected"), u: () => decide(""),
    e: () => current.querySelector(".note")?.focus(), f: () => viewer.flip(), o: () => viewer.toggle(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=radio])")) {
      if (event.key === "Enter" || event.key === "Escape") event.target.blur();
      return;
    }
    const act = event.key === "s" ? save : (current || !sections.length && event.key === "n") && keys[event.key];
    if (act) event.preventDefault(), act();
  });
  for (const section of sections) {
    for (const field of section.querySelectorAll("input")) {
      const note = ({ decisions }) => {
        const scan = section.dataset.scan, { decision, fingerprint, time } = of(scan);
        decisions[scan] = { decision, fingerprint, time, note: field.value };
      };
      field.addEventListener(
        field.type === "radio" ? "change" : "input",
        () => (field.type === "radio" ? decide(field.value, section) : change(note)),
      );
    }
  }
  form.elements.initials.addEventListener("input", (event) => change((all) => { all.initials = event.target.value; }));
  form.elements.save.addEventListener("click", save);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const [name, step] of [["previous", -1], ["next", 1]]) {
    document.querySelector(`button[name=${name}]`)?.addEventListener("click", () => go(step));
  }
  addEventListener("storage", () => { read(); update(); });
  addEventListener("beforeunload", (event) => { if (!isKept && decided().length) event.preventDefault(); });
  for (const one of document.querySelectorAll("#review, .keys")) one.hidden = false;
  read();
  update();
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (sections.length) show(sections.find((one) => one.dataset.name === wanted) ?? sections[0]);
})();
