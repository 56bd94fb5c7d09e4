import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, expect, test, vi } from "vitest";
import type { Report } from "../api/shapes";
import { ToastProvider } from "../look/toasts";
import { Reports } from "./Reports";

const report: Report = {
  id: 3,
  prompt: 7,
  title: "احك لي قصة",
  task: 12,
  reporter: "Ada",
  reason: "broken",
  note: "The end is missing.",
  created_at: "2026-11-20T14:02:00Z",
  settled_at: null,
  settled_by: null,
};

/** A server that knows these reports, and forgets one that was looked at; what it was asked, besides for them. */
function serve(...open: Report[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const path = new URL(request.url).pathname;
    const body = request.method === "GET" ? "" : await request.text();
    if (request.method !== "GET") asked.push(`${request.method} ${path} ${body}`.trim());
    if (path.endsWith("/settle") && request.method === "POST") open.shift();
    const answer = path.endsWith("/reports") ? { next: null, results: open } : path.endsWith("/prompts") ? { opened: 0 } : report;
    return new Response(JSON.stringify(answer), { headers: { "Content-Type": "application/json" } });
  });
  return asked;
}

function show(): void {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MemoryRouter>
        <ToastProvider>
          <Reports slug="stories" />
        </ToastProvider>
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

afterEach(() => vi.unstubAllGlobals());

test("a report says what is wrong, with which prompt, and leads to its task; looked at, it leaves", async () => {
  const asked = serve({ ...report });
  show();
  const row = within(await screen.findByRole("region", { name: "Reported prompts" })).getByRole("listitem");
  expect(row.textContent).toContain("It is broken or cannot be read");
  expect(row.textContent).toContain("The end is missing.");
  const link = within(row).getByRole("link", { name: report.title });
  expect(link.getAttribute("href")).toBe("/p/stories/review/12");
  expect(link.getAttribute("dir")).toBe("auto");
  await userEvent.click(within(row).getByRole("button", { name: `I have looked at it: ${report.title}` }));
  await vi.waitFor(() => { expect(screen.queryByRole("region", { name: "Reported prompts" })).toBeNull(); });
  await userEvent.click(await screen.findByRole("button", { name: "Undo" }));
  await vi.waitFor(() => { expect(asked).toEqual(["POST /api/v1/reports/3/settle", "DELETE /api/v1/reports/3/settle"]); });
});

test("its prompt is retired from here, which can be undone", async () => {
  const asked = serve({ ...report, reason: "other", task: null });
  show();
  expect((await screen.findByText(report.title)).tagName).toBe("B");
  expect(screen.queryByText("Something else")).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: `Retire the prompt: ${report.title}` }));
  await userEvent.click(await screen.findByRole("button", { name: "Undo" }));
  await vi.waitFor(() => { expect(asked).toHaveLength(4); });
  const said = asked.map((each) => /"retired":(true|false)/.exec(each)?.[1] ?? each);
  expect(said).toEqual(["true", "POST /api/v1/reports/3/settle", "false", "DELETE /api/v1/reports/3/settle"]);
});
