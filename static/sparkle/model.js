// The form of a model: offers only the samplers and sizes that its family can do, and takes the family over from “Inspect”.
(() => {
  "use strict";
  const field = (name) => document.getElementById(`id_${name}`);

  function offer() {
    const families = JSON.parse(document.getElementById("model-families").textContent);
    const family = families[field("family").value];
    if (!family) return;
    const sampler = field("default_sampler");
    for (const option of sampler.options) option.hidden = option.disabled = !family.samplers.includes(option.value);
    if (sampler.selectedOptions[0]?.disabled) sampler.value = family.samplers[0];
    for (const name of ["default_size", "more_sizes"]) {
      for (const option of field(name).options) {
        const fits = option.value.split("x").every((side) => side % family.multiple === 0);
        option.disabled = !fits && !option.selected;
      }
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!field("family") || !document.getElementById("model-families")) return;
    field("family").addEventListener("change", offer);
    document.body.addEventListener("htmx:afterSwap", (event) => {
      const found = event.target.querySelector("[data-family]");
      if (!found) return;
      field("family").value = found.dataset.family;
      offer();
    });
    offer();
  });
})();
