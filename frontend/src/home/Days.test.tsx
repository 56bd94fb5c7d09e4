import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import type { Progress, Standing } from "../api/shapes";
import { Days } from "./Days";

const none = { rankings: 0, demonstrations: 0, seconds_each: null };
const quiet: Progress = {
  today: none,
  week: none,
  days: ["2026-11-19", "2026-11-20"].map((day) => ({ day, rankings: 0, demonstrations: 0 })),
  open: { ranking: 3, demonstration: 0 },
  being_written: null,
};
const share = { value: 0.75, low: 0.6, high: 0.86, count: 40, tasks: 9 };
const standing: Standing = { first_tasks: null, left_today: null, agreement: { others: { share, kappa: null }, known: null } };

test("how far I agree is told after two weeks without work, too", () => {
  render(<Days progress={quiet} standing={standing} />);
  expect(screen.getByText("Agreement with others").nextElementSibling?.textContent).toContain("75 %");
});

test("who has done nothing and agrees with nobody yet is told nothing", () => {
  const { container } = render(<Days progress={quiet} standing={{ ...standing, agreement: { others: null, known: null } }} />);
  expect(container.textContent).toBe("");
});
