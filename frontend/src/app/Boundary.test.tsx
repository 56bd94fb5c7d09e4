import { render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, test, vi } from "vitest";
import { Boundary } from "./Boundary";

function Broken(): never {
  throw new Error("A part of this page could not be loaded.");
}

test("a page that breaks says so, and another page is whole again", () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const at = (place: string, page: React.ReactNode): React.ReactNode => (
    <MemoryRouter>
      <Boundary place={place}>{page}</Boundary>
    </MemoryRouter>
  );
  const { rerender } = render(at("/one", <Broken />));
  expect(screen.getByRole("alert").textContent).toContain("could not be loaded");
  rerender(at("/two", <p>Whole.</p>));
  expect(screen.getByText("Whole.")).toBeDefined();
});
