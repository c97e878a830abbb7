// Sorting, filtering, and the pictures after the first hundred, which a browser shows as it comes near them.
// Without scripts, the table is whole, worst first, and those pictures are links.
(() => {
  const table = document.getElementById("scans"), body = table.tBodies[0], rows = [...body.rows];
  const controls = document.getElementById("controls"), fields = controls.elements;
  const columns = { verdict: 2, suffix: 3, nearest: 4 };
  const text = (row, column) => row.cells[column].textContent;
  for (const [name, column] of Object.entries(columns)) {
    for (const value of [...new Set(rows.map((row) => text(row, column)))].filter(Boolean).sort()) {
      fields[name].add(new Option(value, value));
    }
  }
  function filter() {
    const wanted = fields.text.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = text(row, 1).toLowerCase().includes(wanted)
        && Object.entries(columns).every(([name, column]) => [ "", text(row, column) ].includes(fields[name].value));
      row.hidden = !fits;
      shown += fits;
    }
    controls.querySelector("output").textContent = `${shown} of ${rows.length} scans`;
  }
  const inWords = new Intl.Collator("en", { numeric: true });
  function sort(column, down) {
    const keyed = rows.map((row) => [Number.parseFloat(text(row, column)), text(row, column), row]);
    const order = ([x, a], [y, b]) => (
      Number.isNaN(x) && Number.isNaN(y) ? inWords.compare(a, b) : Number.isNaN(x) - Number.isNaN(y) || x - y
    );
    keyed.sort((a, b) => (down ? order(b, a) : order(a, b)));
    body.append(...keyed.map(([, , row]) => row));
  }
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (!column) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(column, down);
    });
  });
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
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  filter();
})();
