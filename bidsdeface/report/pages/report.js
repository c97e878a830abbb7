// Sorting, filtering, and the pictures after the first hundred, which a browser shows as it comes near them.
// Without scripts, the table is whole, worst first, and those pictures are links.
(() => {
  const table = document.getElementById("scans"), body = table.tBodies[0], rows = [...body.rows];
  const controls = document.getElementById("controls"), fields = controls.elements, NEAREST = 4;
  const text = (row, column) => row.cells[column].textContent;
  const wants = { verdict: (row) => text(row, 2), suffix: (row) => text(row, 3), nearest: (row) => row.dataset.near };
  for (const [name, of] of Object.entries(wants)) {
    for (const value of [...new Set(rows.map(of))].filter(Boolean).sort()) fields[name].add(new Option(value, value));
  }
  for (const name of Object.keys(MEASURES)) fields.measure.add(new Option(name, name));
  function filter() {
    const wanted = fields.text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = text(row, 1).toLowerCase().includes(wanted)
        && Object.entries(wants).every(([name, of]) => ["", of(row)].includes(fields[name].value));
      row.hidden = !fits;
      shown += fits;
    }
    controls.querySelector("output").textContent = `${shown} of ${rows.length} scans`;
  }
  const inWords = new Intl.Collator("en", { numeric: true });
  function sort(column, down) {
    const number = (row) => (column === NEAREST ? Number(row.dataset.used) : Number.parseFloat(text(row, column)));
    const keyed = rows.map((row) => [number(row), text(row, column), row]);
    const way = down ? -1 : 1; // what is no number comes last, both ways
    keyed.sort(([x, a], [y, b]) => (
      Number.isNaN(x) && Number.isNaN(y) ? way * inWords.compare(a, b) : Number.isNaN(x) - Number.isNaN(y) || way * (x - y)
    ));
    body.append(...keyed.map(([, , row]) => row));
  }
  function makeSortable(cell) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(cell.cellIndex, down);
    });
  }
  [...table.tHead.rows[0].cells].slice(1).forEach(makeSortable);
  // A last column with the measure that is asked for.
  function showMeasure() {
    const shown = MEASURES[fields.measure.value], beyond = new Set(shown?.beyond), head = table.tHead.rows[0];
    for (const row of [head, ...rows]) row.cells[NEAREST + 1]?.remove();
    if (!shown) return;
    const heading = Object.assign(document.createElement("th"), { scope: "col", textContent: fields.measure.value });
    head.append(heading);
    makeSortable(heading);
    rows.forEach((row, place) => {
      const cell = row.insertCell();
      cell.textContent = shown.values[place];
      cell.dataset.label = fields.measure.value;
      cell.classList.toggle("beyond", beyond.has(place));
    });
  }
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      const image = new Image();
      [image.src, image.alt] = [target.href, target.textContent];
      target.replaceChildren(image);
    }
  }, { rootMargin: "800px" });
  for (const link of body.querySelectorAll("td > a")) if (!link.firstElementChild) near.observe(link);
  controls.addEventListener("input", filter);
  fields.measure.addEventListener("change", showMeasure);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  showMeasure(); // a browser may remember the choice
  filter();
})();
