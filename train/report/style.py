"""The report's style sheet: light and dark, wide and narrow."""

STYLE = """
:root{color-scheme:light dark;--text:#1c2127;--dim:#5c6670;--line:#d5dae0;--back:#fff;--panel:#f4f6f8;
--ok:#1a7f37;--bad:#b3261e;--open:#8a6100;--c0:#b4490f;--c1:#1f6fbf}
@media(prefers-color-scheme:dark){:root{--text:#dde1e6;--dim:#98a2ad;--line:#333a43;--back:#14171c;
--panel:#1b2026;
--ok:#6fd38a;--bad:#ff9b7a;--open:#e3b857;--c0:#f0a163;--c1:#74b6f2}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem;max-width:72rem;font:16px/1.5 system-ui,sans-serif;color:var(--text);
background:var(--back)}
h1{margin:0;font-size:2rem;line-height:1.2}h2{margin:2.5rem 0 .3rem;font-size:1.25rem}p{margin:.4rem 0;
max-width:48rem}
.dim,figcaption{color:var(--dim)}figcaption b{color:var(--text)}
h1.fit{color:var(--ok)}h1.unfit{color:var(--bad)}h1.reservations{color:var(--open)}
.rules{list-style:none;margin:1rem 0 0;padding:0;max-width:52rem}
.rules li{display:flex;gap:.7rem;padding:.5rem 0;border-top:1px solid var(--line)}
.mark{flex:none;width:1.2rem;font-weight:700;text-align:center}
.ok .mark{color:var(--ok)}.bad .mark,.bad b{color:var(--bad)}.open .mark{color:var(--open)}
.rules b::after{content:"."}
figure{margin:0}figcaption{font-size:.9rem;padding:.3rem 0}img{display:block;max-width:100%;height:auto;
border-radius:4px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem;
margin-top:.7rem}
.pair img{width:100%}
.slider{position:relative;overflow:hidden;border-radius:4px}
.slider .before{position:absolute;inset:0;height:100%;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.bar{position:absolute;top:0;bottom:0;left:var(--at);width:3px;margin-left:-1.5px;background:#fff;
box-shadow:0 0 4px #000;
pointer-events:none}
.bar::after{content:"\\2194";position:absolute;top:50%;left:50%;width:2rem;height:2rem;margin:-1rem;
border-radius:50%;
background:#fff;color:#222;text-align:center;line-height:2rem;box-shadow:0 0 4px #000}
.slider input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize;
touch-action:pan-y}
.slider:focus-within{outline:3px solid var(--c1);outline-offset:2px}
.wide{overflow-x:auto;margin-top:.6rem}table{border-collapse:collapse}
th,td{padding:.4rem .9rem .4rem 0;text-align:right;border-bottom:1px solid var(--line);
font-variant-numeric:tabular-nums}
th[scope=row]{text-align:left;font-weight:400;vertical-align:top}thead th{color:var(--dim);font-weight:400}
.us th[scope=row],.us td,td.top{font-weight:700}.facts td{text-align:left;overflow-wrap:anywhere}
.facts th{color:var(--dim)}
summary{cursor:pointer;margin-top:.8rem}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1rem;
margin-top:.7rem}
.plot{background:var(--panel);border-radius:6px;padding:.4rem .7rem}.plot.big{grid-column:1/-1}
.plot figcaption{color:var(--text)}
svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--dim)}
.big svg{max-height:22rem}
.grid{stroke:var(--line);fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.line.c0{stroke:var(--c0)}.line.c1{stroke:var(--c1)}.dot.c0{fill:var(--c0)}.dot.c1{fill:var(--c1)}
.level{stroke:var(--dim);stroke-dasharray:5 4;fill:none}
.key{white-space:nowrap;margin-left:1rem;font-size:.85rem;color:var(--dim)}
.key::before{content:"";display:inline-block;width:1.1rem;border-top:3px solid;margin-right:.35rem;
vertical-align:middle}
.key.c0::before{border-color:var(--c0)}.key.c1::before{border-color:var(--c1)}
.key.level::before{border-top-style:dashed}
details figure{margin-top:.8rem}
@media(max-width:40rem){body{padding:1rem}.big svg text{font-size:22px}
h1{font-size:1.6rem}.facts th,.facts td{display:block;border:0;
padding:.1rem 0}
.facts td{border-bottom:1px solid var(--line);padding-bottom:.5rem}.key{white-space:normal;margin-left:0;
display:block}}
"""
