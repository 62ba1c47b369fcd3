/** The page's style, for light and dark themes and all screen widths. */

const shades = Array.from(
  { length: 14 },
  (_, i) => `.s${i + 1}{fill-opacity:${((i + 1) / 14).toFixed(2)}}`,
).join("");

const losses = Array.from(
  { length: 10 },
  (_, i) =>
    `.l${i + 1}{background:color-mix(in srgb,var(--heat) ${
      (i + 1) * 8
    }%,transparent)}`,
).join("");

const light = `--page:#fcfcfb;--ink:#1d2024;--dim:#5d646d;--rule:#dfe1e4;
--soft:#f2f3f3;--val:#0072b2;--train:#d55e00;--batch:#7d8793;--first:#c26f00;--last:#0072b2;
--heat:#e8710a;--shade:#0003;--run0:#0868cb;--run1:#8d440f;--run2:#009164;--run3:#af5489;--run4:#957700;--run5:#0093d8;--run6:#555`;

const dark = `--page:#14161a;--ink:#e4e6e9;--dim:#9aa2ad;--rule:#31363d;
--soft:#1d2025;--val:#56b4e9;--train:#e69f00;--batch:#8b95a1;--first:#f0b040;--last:#56b4e9;
--heat:#b85300;--shade:#fff3;--run0:#08a7fd;--run1:#e9853c;--run2:#12ce8c;--run3:#c684b5;--run4:#e8d54c;--run5:#a9d5f3;--run6:#bbb`;

/**
 * Colours near those of Okabe and Ito (jfly.uni-koeln.de/color), moved so that any two of `--run0`
 * to `--run6` differ for every kind of colour vision. The background is light.
 */
export const colors: string = `
:root{color-scheme:light dark;${light}}
@media(prefers-color-scheme:dark){:root{${dark}}}
@media print{:root{color-scheme:light;${light}}}
`;

/** CSS. */
export const style: string = `${colors}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;overflow-wrap:break-word;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:1088px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:34px;line-height:1.15;letter-spacing:-.02em;margin:0 0 8px;overflow-wrap:anywhere}
h2{font-size:21px;letter-spacing:-.01em;margin:0 0 4px}
h3{font-size:14px;font-weight:600;margin:20px 0 6px}
p{margin:0 0 12px}
a{color:var(--val)}
code,pre,.passage,.tokens{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.summary{font-size:18px;margin-bottom:20px;max-width:46em}
.about{color:var(--dim);max-width:48em;font-size:15px}
.note{border-left:3px solid var(--train);background:var(--soft);padding:10px 14px;margin:0 0 16px;border-radius:0 6px 6px 0}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
pre.command{background:var(--soft);border-radius:8px;padding:12px 14px;font-size:13.5px;margin:0 0 20px}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:14px;padding:12px 0;border-block:1px solid var(--rule)}
nav a{text-decoration:none}nav a:hover{text-decoration:underline}
section{margin-top:44px;scroll-margin-top:12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(148px,1fr));gap:20px;margin:0 0 24px}
.tiles dt{color:var(--dim);font-size:13px}
.tiles dd{margin:0;font-size:25px;letter-spacing:-.02em;font-variant-numeric:tabular-nums;line-height:1.25}
.tiles dd small{display:block;font-size:13px;color:var(--dim);letter-spacing:0}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13.5px;color:var(--dim);margin:6px 0 10px;align-items:center}
.legend>span{display:inline-flex;align-items:center;gap:7px}
.pen{flex:none;width:30px;height:12px;vertical-align:middle;margin-right:6px;fill:currentColor;stroke:currentColor}
.pen path{stroke-width:2;fill:none}.pen .hollow{fill:var(--page);stroke-width:1.4}.legend .pen{margin-right:0}.legend .pen path{fill:none}
.swatch{display:inline-block;width:14px;height:14px;border-radius:3px;box-shadow:0 0 0 1px var(--rule)}
.plot{display:block;width:100%;height:auto;overflow:visible;font:11px system-ui,sans-serif;font-variant-numeric:tabular-nums;background:none}
.plot text{white-space:pre}
.narrow .plot{font-size:11.5px}
.narrow{display:none}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:24px 28px}
.charts figure,.heads figure,.samples figure{margin:0;min-width:0}
.charts figcaption{font-size:13.5px;font-weight:600;margin-bottom:2px}.charts figcaption .legend{font-weight:400;font-size:13px;margin:0}
.charts figure{display:flex;flex-direction:column}.charts figure>svg{margin-top:auto}
.scroll{overflow-x:auto;margin:12px 0;background:linear-gradient(90deg,var(--page) 40%,transparent) left/48px 100% no-repeat local,linear-gradient(270deg,var(--page) 40%,transparent) right/48px 100% no-repeat local,linear-gradient(90deg,var(--shade),transparent) left/16px 100% no-repeat scroll,linear-gradient(270deg,var(--shade),transparent) right/16px 100% no-repeat scroll}
.scroll th:first-child,.scroll td:first-child{position:sticky;left:0;z-index:1;background:var(--page)}
.sideways{margin:12px 0 -8px;color:var(--dim);font-size:13px;text-align:right}.sideways:has(+.heads){margin:-26px 0 2px}
table{border-collapse:separate;border-spacing:0;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:left;line-height:22px;padding:5px 18px 5px 0;border-bottom:1px solid var(--rule);white-space:nowrap;vertical-align:top}
td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:9em;max-width:26em}td:first-child code,td:first-child bdi{overflow-wrap:anywhere}
td:first-child>code,td:first-child>.run{display:inline-block;width:max-content;max-width:26em}
.legend bdi,.summary bdi,figcaption b,figcaption span{overflow-wrap:anywhere;min-width:0}
th{color:var(--dim);font-weight:500;font-size:13px}
td.number,th.number{text-align:right}
details{margin-top:12px}summary{cursor:pointer;color:var(--dim);font-size:14px}
.beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:8px 32px;align-items:start}.beside figure{margin:0;min-width:0}.beside>div{min-width:0}
.beside .sentences td{overflow-wrap:anywhere;min-width:9em}.beside figcaption{font-size:13.5px;font-weight:600}
.prose{max-width:48em}.prose code{white-space:nowrap}.samples+.prose{margin-top:16px}
.sentences td{white-space:normal;min-width:13em}.sentences td:first-child{min-width:9em}.sentences td.number{min-width:0}.sentences td.kept{min-width:9em}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:16px}
.samples figure{background:var(--soft);border-radius:10px;padding:12px 14px;display:flex;flex-direction:column;gap:8px}
.samples figcaption{font-size:13px;color:var(--dim);display:flex;justify-content:space-between;gap:8px}
.samples figcaption b{color:var(--ink)}
.samples pre{font-size:12.5px;line-height:1.5}
.heads{display:flex;flex-wrap:wrap;gap:20px;overflow-x:auto;padding:2px 2px 10px;scroll-snap-type:x proximity}
.heads figure{flex:0 0 auto;width:min(240px,80vw);scroll-snap-align:start}
.heads svg{display:block;width:100%;height:auto;touch-action:pan-x pan-y;cursor:crosshair}
.heads figcaption{font-size:13px;color:var(--dim);margin:4px 0 0 4px}.heads figcaption b{color:var(--ink)}
.defs{position:absolute}
.ground{fill:var(--soft)}.heads path,.legend path{fill:var(--val)}
.tokens text{font-size:8.5px;text-anchor:middle;dominant-baseline:central;fill:var(--ink)}
.passage{columns:28em 2;column-gap:40px;font-size:15px;line-height:1.75;white-space:pre-wrap;overflow-wrap:anywhere;margin:0;cursor:crosshair}
.passage span{padding:2px 0}
.passage .on{outline:2px solid var(--ink);outline-offset:-1px;border-radius:2px}
.readout{display:block;position:sticky;bottom:0;background:var(--page);border-top:1px solid var(--rule);color:var(--dim);font-size:14px;padding:10px 0;margin-top:12px;white-space:pre-wrap}
footer{margin-top:56px;padding-top:14px;border-top:1px solid var(--rule);color:var(--dim);font-size:13.5px}
${shades}${losses}
@media(max-width:640px){.narrow{display:block}.wide{display:none}main{padding:24px 16px 48px}h1{font-size:27px}.summary{font-size:16.5px}section{margin-top:36px}
.heads{flex-wrap:nowrap}
.scroll th:first-child,.scroll td:first-child{min-width:120px;max-width:120px;padding-right:6px}td:first-child>code,td:first-child>.run{width:auto}
.kept{position:sticky;left:120px;right:0;background:var(--page);padding-left:10px;padding-right:10px;white-space:normal;max-width:165px}}
@media print{.readout,nav,.sideways{display:none!important}body{font-size:14px;print-color-adjust:exact}main{max-width:none;padding:0 12px}
.scroll,.heads{overflow:visible;background:none}.heads{flex-wrap:wrap}
.scroll th:first-child,.scroll td:first-child,.kept{position:static}
th,td{white-space:normal;padding-right:8px;font-size:11px;line-height:16px}td:first-child,.sentences td{min-width:0}
td:first-child>code,td:first-child>.run{width:auto}td.number{white-space:nowrap}
tr:has(>:nth-child(11))>*{white-space:normal;overflow-wrap:anywhere;padding-right:4px;font-size:9px}
tr,figure,.tiles,.wide{break-inside:avoid}h2,h3,.about,.legend{break-after:avoid}}
`;
