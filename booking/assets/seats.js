// Beside the seat map: says which seats are chosen, and keeps two passengers off one seat. The map works without it.
"use strict";
(() => {
  const groups = [...document.querySelectorAll("[data-passenger]")];
  const told = document.getElementById("chosen-seats");
  const seatOf = (group) => {
    const chosen = group.querySelector("input:checked");
    return chosen ? chosen.value : "";
  };
  const update = () => {
    const seats = groups.map(seatOf);
    groups.forEach((group, at) => {
      for (const input of group.querySelectorAll("input[data-state]")) {
        const isOpen = input.dataset.state === "free" || input.dataset.state === "yours";
        const isOthers = seats.some((seat, other) => other !== at && seat !== "" && seat === input.value);
        input.disabled = !isOpen || isOthers;
      }
    });
    const words = seats.map((seat, at) => `passenger ${at + 1}: ${seat === "" ? "any seat" : seat}`);
    told.textContent = words.length > 0 ? `Chosen for ${words.join(", ")}.` : "";
  };
  for (const group of groups) {
    group.addEventListener("change", update);
  }
  update();
})();
