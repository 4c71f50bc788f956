// Vercel's AI SDK; its user sets `baseURL` (OPENAI_BASE_URL) and `apiKey`.
import { writeFile } from "node:fs/promises";
import { createOpenAI } from "@ai-sdk/openai";
import * as ai from "ai";

const generateSpeech = ai.generateSpeech ?? ai.experimental_generateSpeech;
const openai = createOpenAI({
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
});
const warnings = [];
const media = {};
for (const outputFormat of ["mp3", "wav"]) {
  const spoken = await generateSpeech({
    model: openai.speech("gpt-4o-mini-tts"),
    text: "The lamp was lit.",
    voice: "alloy",
    speed: 1,
    instructions: "Softly.",
    outputFormat,
  });
  await writeFile(`spoken.${outputFormat}`, spoken.audio.uint8Array);
  media[outputFormat] = spoken.audio.mediaType;
  warnings.push(...spoken.warnings);
}

let refused;
try {
  await generateSpeech({
    model: openai.speech("tts-1"),
    text: "The lamp was lit.",
    voice: "nobody",
    maxRetries: 0,
  });
} catch (error) {
  refused = { status: error.statusCode, message: error.message };
}
console.log(JSON.stringify({ media, warnings, refused }));
