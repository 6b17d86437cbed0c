// The one thing that pages need a script for is to remember a theme; without it they follow the system's.
(function () {
  "use strict";
  var names = ["system", "light", "dark"];
  var says = { system: "as the system", light: "light", dark: "dark" };

  function stored() {
    try {
      var found = window.localStorage.getItem("theme");
      return names.indexOf(found) < 0 ? "system" : found;
    } catch (error) {
      return "system"; // storage may be forbidden
    }
  }

  function show(name) {
    if (name === "system") {
      document.documentElement.removeAttribute("data-theme");
    } else {
      document.documentElement.setAttribute("data-theme", name);
    }
  }

  show(stored());

  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      button.textContent = "Theme: " + says[stored()];
      button.addEventListener("click", function () {
        var next = names[(names.indexOf(stored()) + 1) % names.length];
        try {
          window.localStorage.setItem("theme", next);
        } catch (error) {
          // it holds for this page then
        }
        show(next);
        button.textContent = "Theme: " + says[next];
      });
    }
    // Narrow screens show rows as cards; some browsers then forget that it is a table.
    var roles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };
    document.querySelectorAll("table.cards, table.cards *").forEach(function (element) {
      var role = roles[element.tagName];
      if (element.tagName === "TH") {
        role = element.scope.indexOf("row") === 0 ? "rowheader" : "columnheader";
      }
      if (role) {
        element.setAttribute("role", role);
      }
    });
    var refused = document.getElementById("refused") || document.querySelector("[aria-invalid=true]");
    if (refused) {
      refused.focus();
    }
  });
})();
