// Tables and texts that fit need no stop of the Tab key.
const regions = document.querySelectorAll(".scroll");
const look = () => {
  for (const region of regions) {
    const hidden = region.clientWidth === 0;
    const fits = region.scrollWidth <= region.clientWidth && region.scrollHeight <= region.clientHeight;
    if (fits && !hidden) {
      region.removeAttribute("tabindex");
    } else {
      region.tabIndex = 0;
    }
  }
};
look();
addEventListener("resize", look);
document.addEventListener("toggle", look, true);
