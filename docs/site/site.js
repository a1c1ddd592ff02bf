// Whoever uses a keyboard can scroll where a wide text or table does not fit the window.
const wide = () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", wide);
addEventListener("resize", wide);
wide();
