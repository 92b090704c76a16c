const SVG = "http://www.w3.org/2000/svg";

/** A picture of one line in a square of 24; `launcher.css` says how it is drawn. */
export function icon(line: string): SVGElement {
  const picture = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  picture.setAttribute("viewBox", "0 0 24 24");
  path.setAttribute("d", line);
  picture.append(path);
  return picture;
}
