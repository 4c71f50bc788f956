// OpenAI's package for Node.js; OPENAI_BASE_URL and OPENAI_API_KEY are all that its user sets.
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import OpenAI from "openai";

const input = "The lamp was lit.";
const openai = new OpenAI();

const streamed = await openai.audio.speech.create({
  model: "gpt-4o-mini-tts",
  voice: "coral",
  input,
  instructions: "Speak in a cheerful and positive tone.",
});
await pipeline(Readable.fromWeb(streamed.body), createWriteStream("streamed.mp3"));

for (const response_format of ["mp3", "opus", "aac", "flac", "wav"]) {
  const spoken = await openai.audio.speech.create({
    model: "tts-1",
    voice: "alloy",
    input,
    response_format,
  });
  const content = Buffer.from(await spoken.arrayBuffer());
  await writeFile(`${response_format}.${response_format}`, content);
}

let refused;
try {
  await openai.audio.speech.create({ model: "tts-1", voice: "nobody", input });
} catch (error) {
  if (!(error instanceof OpenAI.BadRequestError)) throw error;
  refused = { param: error.param, code: error.code };
}

const models = [];
for await (const model of openai.models.list()) models.push(model.id);
const { created } = await openai.models.retrieve("tts-1");
console.log(JSON.stringify({ models, created, refused }));
