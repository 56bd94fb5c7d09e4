import type { ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import styles from "./Markdown.module.css";

function Heading({ children }: { children?: ReactNode }) {
  return <p className={styles["heading"]}>{children}</p>;
}

// Nothing that a model wrote may run, load or lead anywhere: links and images are words, HTML is text.
const parts: Components = {
  a: ({ children, href }) => (
    <span className={styles["link"]} title={href}>
      {children}
    </span>
  ),
  img: ({ alt, src }) => <span>[image: {alt ?? (typeof src === "string" ? src : "")}]</span>,
  input: ({ checked }) => <span>{checked === true ? "☑" : "☐"}</span>,
  h1: Heading,
  h2: Heading,
  h3: Heading,
  h4: Heading,
  h5: Heading,
  h6: Heading,
};

export default function Rendered({ text }: { text: string }) {
  return (
    <ReactMarkdown remarkPlugins={[remarkGfm]} components={parts}>
      {text}
    </ReactMarkdown>
  );
}
