#include "worker/files/directory_style.h"

namespace baton {

// The pictures before the names are masks, so that they have the colours of the
// page; the kind of a file is told from the end of its link. On a narrow screen
// a row is two lines: the name, and below it the date and the size.
const absl::string_view kDirectoryStyle =
    R"css(body { max-width: 60rem; padding-top: 2.5rem; padding-bottom: 3rem; }
h1 { font-size: 1.35rem; line-height: 1.35; font-weight: 600; margin: 0 .75rem 1.1rem;
  overflow-wrap: anywhere; }
h1 i { font-style: normal; font-weight: 400; color: var(--soft); margin: 0 .25em; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; z-index: 1; background: var(--back); color: var(--soft);
  box-shadow: inset 0 -1px var(--line); font-weight: 500; font-size: .85rem; text-align: left;
  padding: .5rem .75rem; white-space: nowrap; }
th button { all: unset; cursor: pointer; position: relative; }
th button:hover, th[aria-sort] { color: var(--text); }
th button:focus-visible, a:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
th[aria-sort] button::after { content: "\2191"; margin-left: .35em; }
th[aria-sort=descending] button::after { content: "\2193"; }
td { padding: 0 .75rem; border-bottom: 1px solid var(--line); }
th + th, td + td { text-align: right; white-space: nowrap; width: 1%; padding-left: 1.5rem; }
td + td { color: var(--soft); font-size: .9rem; }
tbody tr:hover { background: var(--hover); }
td a { display: flex; align-items: flex-start; gap: .65rem; padding: .42rem 0; color: inherit;
  overflow-wrap: anywhere; }
bdi { white-space: pre-wrap; min-width: 0; }
.d a { color: var(--mark); font-weight: 500; }
.u a { color: var(--soft); }
td a::before { content: ""; flex: none; width: 1.2rem; height: 1.5rem; background: var(--soft);
  -webkit-mask: var(--icon) center/contain no-repeat; mask: var(--icon) center/contain no-repeat; }
.d a::before { background: var(--mark); }
footer { color: var(--soft); font-size: .85rem; margin: .9rem .75rem 0; }
footer p { margin: 0 0 .25rem; }
.note { color: var(--text); }
.empty { color: var(--soft); margin: 1.5rem .75rem; }
@media (max-width: 38rem) {
  body { padding: 1.25rem .5rem 2rem; }
  table, thead, tbody { display: block; }
  thead { position: sticky; top: 0; z-index: 1; background: var(--back);
    box-shadow: inset 0 -1px var(--line); }
  thead tr { display: flex; gap: 1.5rem; padding: .25rem .75rem; }
  th, th + th { position: static; box-shadow: none; width: auto; padding: .4rem 0; }
  tbody tr { display: grid; grid-template-columns: 1fr auto; padding: .3rem .75rem;
    border-bottom: 1px solid var(--line); }
  td, td + td { border: 0; width: auto; padding: 0; }
  td:first-child { grid-column: 1 / -1; }
  td a { padding: .25rem 0 .1rem; }
  td + td { grid-area: 2 / 2; font-size: .85rem; }
  td + td + td { grid-area: 2 / 1; text-align: left; padding-left: 1.85rem; }
}
td a { --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16' fill='none' stroke='black' stroke-linejoin='round'>\
<path d='M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3'/></svg>"); }
.d a { --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16'><path d='M1 4a1 1 0 0 1 1-1h3.6l1.6 1.7H14a1 1 0 0 1 1 1V12.6a1 1 0 0 1-1 1H2\
a1 1 0 0 1-1-1z'/></svg>"); }
.u a { --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16' fill='none' stroke='black' stroke-width='1.4' stroke-linecap='round' \
stroke-linejoin='round'><path d='M12 13H8V3.5M4.5 7 8 3.5 11.5 7'/></svg>"); }
td a:is([href$=".txt" i], [href$=".md" i], [href$=".pdf" i], [href$=".html" i], [href$=".log" i],
  [href$=".csv" i], [href$=".json" i], [href$=".xml" i], [href$=".epub" i], [href$=".odt" i]) {
  --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16' fill='none' stroke='black' stroke-linejoin='round'>\
<path d='M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3M5.5 7.5h5M5.5 9.7h5M5.5 11.9h3'/></svg>"); }
td a:is([href$=".png" i], [href$=".jpg" i], [href$=".jpeg" i], [href$=".gif" i], [href$=".svg" i],
  [href$=".webp" i], [href$=".avif" i], [href$=".bmp" i], [href$=".ico" i]) {
  --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16' fill='none' stroke='black' stroke-linejoin='round'>\
<path d='M1.5 3h13v10h-13zM1.8 11.5 5.5 8l2.8 2.6L11 7.8l3.3 3.2'/>\
<circle cx='6' cy='5.8' r='.8'/></svg>"); }
td a:is([href$=".mp3" i], [href$=".ogg" i], [href$=".opus" i], [href$=".flac" i], [href$=".wav" i],
  [href$=".m4a" i], [href$=".mp4" i], [href$=".webm" i], [href$=".mkv" i], [href$=".mov" i]) {
  --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16' fill='none' stroke='black' stroke-linejoin='round'>\
<path d='M1.5 3h13v10h-13z'/><path fill='black' d='M6.6 5.9v4.2L10.2 8z'/></svg>"); }
td a:is([href$=".gz" i], [href$=".xz" i], [href$=".bz2" i], [href$=".zst" i], [href$=".tgz" i],
  [href$=".zip" i], [href$=".7z" i], [href$=".tar" i], [href$=".deb" i], [href$=".rpm" i],
  [href$=".iso" i], [href$=".jar" i], [href$=".whl" i]) {
  --icon: url("data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16' fill='none' stroke='black' stroke-linejoin='round'>\
<path d='M1.5 2.5h13v3.4h-13zM2.5 5.9v7.6h11V5.9M6.2 8.6h3.6'/></svg>"); }
)css";

// Directories stay above files. What is of most interest comes first: the
// largest, the newest. A press on the same title turns the order around.
const absl::string_view kDirectoryScript = R"script(<script>
"use strict";
const body = document.querySelector("tbody");
const heads = [...document.querySelectorAll("th")];
const rows = [...body.querySelectorAll("tr:not(.u)")].map((row, index) => ({
  row, isFile: !row.classList.contains("d"),
  keys: [-index, Number(row.querySelector("data")?.value ?? 0),
    Date.parse(row.querySelector("time").dateTime)],
}));
heads.forEach((head, column) => {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.onclick = () => {
    const [usual, other] =
      column === 0 ? ["ascending", "descending"] : ["descending", "ascending"];
    const order = head.getAttribute("aria-sort") === usual ? other : usual;
    const sign = order === usual ? 1 : -1;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    rows.sort((a, b) => a.isFile - b.isFile || sign * (b.keys[column] - a.keys[column]) ||
      b.keys[0] - a.keys[0]);
    body.append(...rows.map((each) => each.row));
  };
});
</script>
)script";

}  // namespace baton
