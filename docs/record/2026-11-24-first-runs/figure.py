"""The figure of the README from the page of a run: figure.py RUN/report.html > docs/neighbours.svg"""
import html
import re
import sys

page = open(sys.argv[1], encoding="utf-8").read()
side, gap, rows = 44, 6, 6
out, width = [], 0
strips = re.findall(r'<div class="strip">(.*?</div>)</div>', page, re.S)
for row, strip in enumerate(strips[:: max(1, len(strips) // rows)][:rows]):
    cells = re.findall(r'<div(?: class="(hit|miss)")?><img src="([^"]+)" alt="([^"]*)"', strip)
    for column, (mark, uri, text) in enumerate(cells):
        x, y = gap + column * (side + gap) + (14 if column else 0), gap + row * (side + gap)
        colour = {"hit": "#009e73", "miss": "#d55e00", "": "#888888"}[mark]
        out.append(f'<rect x="{x - 2}" y="{y - 2}" width="{side + 4}" height="{side + 4}" rx="3" fill="{colour}"/>')
        out.append(f'<image x="{x}" y="{y}" width="{side}" height="{side}" style="image-rendering:pixelated" '
                   f'href="{uri}"><title>{html.escape(html.unescape(text))}</title></image>')
        width = max(width, x + side + gap)
height = gap + min(rows, len(strips)) * (side + gap)
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">')
print("\n".join(out))
print("</svg>")
