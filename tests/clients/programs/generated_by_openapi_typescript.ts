// The types that openapi-typescript wrote, with openapi-fetch.
import createClient from "openapi-fetch";
import type { paths } from "./schema";

declare const process: { argv: string[] };
declare const Buffer: { from(content: ArrayBuffer): { toString(encoding: "base64"): string } };
const client = createClient<paths>({ baseUrl: process.argv[2] });
const ENDED = ["completed", "failed", "cancelled"];

async function main(): Promise<void> {
  const { data: accepted, error } = await client.POST("/v1/jobs", {
    params: { header: { "Cancel-After": "5m" } },
    body: { task: "custom_voice", input: "The lamp was lit.", voice: "vivian" },
  });
  if (!accepted) throw new Error(error.error.message);
  let job = accepted;
  while (!ENDED.includes(job.status)) {
    const { data, error } = await client.GET("/v1/jobs/{job_id}", {
      params: { path: { job_id: job.id }, header: { Prefer: "wait=10" } },
    });
    if (!data) throw new Error(error.error.message);
    job = data;
  }
  const content = await client.GET("/v1/jobs/{job_id}/content", {
    params: { path: { job_id: job.id } },
    parseAs: "arrayBuffer",
  });
  const speech = await client.POST("/v1/audio/speech", {
    body: { input: "The lamp was lit.", voice: "alloy" },
    parseAs: "arrayBuffer",
  });
  const batch = await client.POST("/v1/batches", {
    body: JSON.stringify({ custom_id: "a", url: "/v1/jobs", body: { task: "custom_voice" } }),
    bodySerializer: (lines) => lines,
    headers: { "Content-Type": "application/jsonl" },
  });
  const refused = await client.POST("/v1/jobs", {
    body: { task: "custom_voice", input: "The lamp was lit.", voice: "nobody" },
  });
  if (!content.data || !speech.data) throw new Error("no sound");
  console.log(
    JSON.stringify({
      id: job.id,
      status: job.status,
      content: Buffer.from(content.data).toString("base64"),
      speech: Buffer.from(speech.data).toString("base64"),
      batch: batch.error?.error.param,
      refused: refused.error?.error.param,
    }),
  );
}

void main();
