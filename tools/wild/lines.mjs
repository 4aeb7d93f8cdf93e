// Lines of text on Skia's canvas, in fonts that training does not fetch: `node lines.mjs FOLDER`.
import { createCanvas, GlobalFonts } from "@napi-rs/canvas";
import { writeFileSync } from "node:fs";

const LINES = [
  ["skia_dosis", "dosis", "Dosis", 26, "Bitte Schuhe ausziehen", "#222", "#f6f1e5"],
  ["skia_arvo", "arvo", "Arvo", 24, "Platform 6 is closed today", "#fff", "#1f4e79"],
  ["skia_josefin", "josefin-sans", "Josefin Sans", 28, "Heute frischer Spargel", "#0b3d0b", "#fff"],
  ["skia_dancing", "dancing-script", "Dancing Script", 32, "With love from Granny", "#442", "#fffbe8"],
  ["skia_elite", "special-elite", "Special Elite", 24, "File 0417 received in error", "#333", "#e9e4d4"],
  ["skia_grotesk", "space-grotesk", "Space Grotesk", 22, "Lieferung bis Freitag, 14 Uhr", "#ffe08a", "#333"],
  ["skia_cardo", "cardo", "Cardo", 22, "Zum Goldenen Hirschen", "#5a1a1a", "#fff"],
  ["skia_mono", "ubuntu-mono", "Ubuntu Mono", 20, "error 507: disk quota exceeded", "#9f9", "#101010"],
];

for (const [name, folder, family, size, text, ink, paper] of LINES) {
  GlobalFonts.registerFromPath(`node_modules/@fontsource/${folder}/files/${folder}-latin-400-normal.woff2`, family);
  const font = `${size}px "${family}"`;
  const probe = createCanvas(8, 8).getContext("2d");
  probe.font = font;
  const canvas = createCanvas(Math.ceil(probe.measureText(text).width) + 28, 2 * size);
  const context = canvas.getContext("2d");
  context.fillStyle = paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  [context.font, context.fillStyle, context.textBaseline] = [font, ink, "middle"];
  context.fillText(text, 14, size);
  writeFileSync(`${process.argv[2]}/${name}.png`, canvas.toBuffer("image/png"));
}
