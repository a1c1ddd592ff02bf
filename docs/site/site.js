// Whoever uses a keyboard can scroll where a wide text, table or figure does not fit the window.
const markScrollable = () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
markScrollable();
addEventListener("load", markScrollable);
addEventListener("resize", markScrollable);
document.addEventListener("toggle", markScrollable, true); // a solution was unfolded
