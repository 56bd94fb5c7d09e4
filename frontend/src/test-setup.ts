import { cleanup } from "@testing-library/react";
import { afterEach, beforeEach } from "vitest";

// jsdom has no modal dialogs; open and close are all that the components ask for.
HTMLDialogElement.prototype.showModal = function show(): void {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close(): void {
  this.open = false;
  this.dispatchEvent(new Event("close"));
};

beforeEach(() => localStorage.clear());
afterEach(() => cleanup());
