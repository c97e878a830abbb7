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
  function sort(column, down) {
    const number = (row) => Number.parseFloat(text(row, column));
    const order = (a, b) => {
      const [x, y] = [number(a), number(b)];
      if (Number.isNaN(x) && Number.isNaN(y)) return text(a, column).localeCompare(text(b, column), "en", { numeric: true });
      return Number.isNaN(x) - Number.isNaN(y) || x - y;
    };
    const sorted = [...rows].sort((a, b) => (down ? order(b, a) : order(a, b)));
    body.append(...sorted);
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
