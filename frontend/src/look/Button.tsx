import type { ComponentProps } from "react";
import { Link, type LinkProps } from "react-router";
import styles from "./Button.module.css";
import { cx } from "./cx";

interface Look {
  /** `go` for the one primary action of the page. */
  look?: "go" | "plain" | "quiet" | "danger";
  small?: boolean;
}

function classes({ look = "plain", small = false }: Look, extra?: string): string {
  return cx(styles["button"], look !== "plain" && styles[look], small && styles["small"], extra);
}

export function Button({ look, small, className, type = "button", ...rest }: Look & ComponentProps<"button">) {
  return <button type={type} className={classes({ ...(look && { look }), ...(small && { small }) }, className)} {...rest} />;
}

export function ButtonLink({ look, small, className, ...rest }: Look & LinkProps) {
  return <Link className={classes({ ...(look && { look }), ...(small && { small }) }, className)} {...rest} />;
}
