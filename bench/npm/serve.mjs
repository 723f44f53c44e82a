// Serves a peer to the benchmark: one JSON request a line on stdin, one JSON answer a line on stdout, side by side.
import { createInterface } from "node:readline";

export class Conflict extends Error {}

export function serve(operations) {
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const { id, operation, ...request } = JSON.parse(line);
    let answer;
    try {
      answer = { result: (await operations[operation](request)) ?? null };
    } catch (error) {
      answer = error instanceof Conflict ? { conflict: true } : { error: `${error.name}: ${error.message}` };
    }
    process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
  });
}

export const clientOptions = {
  endpoint: process.env.BENCH_ENDPOINT,
  region: "us-east-1",
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
  maxAttempts: 1,
};
