import importX, { createNodeResolver } from "eslint-plugin-import-x";
import a11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import { readdirSync } from "node:fs";
import ts from "typescript-eslint";

const SHARED = ["api", "look", "keys", "desk", "machine"];
const rooms = readdirSync("src", { withFileTypes: true }).filter((each) => each.isDirectory()).map((each) => each.name);
const screens = rooms.filter((name) => name !== "app" && !SHARED.includes(name));

// shared rooms (api, look, keys, desk, machine) <- screens <- app; no screen imports another one.
const zones = [
  ...screens.map((name) => ({
    target: `./src/${name}`,
    from: ["./src/app", ...screens.filter((other) => other !== name).map((other) => `./src/${other}`)],
    message: "A screen imports neither another screen nor the app around it.",
  })),
  ...SHARED.map((name) => ({
    target: `./src/${name}`,
    from: ["./src/app", ...screens.map((screen) => `./src/${screen}`)],
    message: "What is shared knows no screen.",
  })),
  { target: "./src/api", from: ["./src/look", "./src/keys", "./src/desk"], message: "Requests know nothing of screens." },
  { target: "./src/look", from: ["./src/keys", "./src/desk"], message: "The look knows no behaviour." },
];

export default ts.config(
  { ignores: ["dist", "node_modules", "src/api/schema.d.ts"] },
  ts.configs.strictTypeChecked,
  a11y.flatConfigs.strict,
  hooks.configs.flat.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "import-x": importX },
    settings: { "import-x/resolver-next": [createNodeResolver({ extensions: [".ts", ".tsx"] })] },
    rules: {
      "import-x/no-restricted-paths": ["error", { zones }],
      "import-x/no-cycle": "error",
      "@typescript-eslint/dot-notation": "off", // an index signature is read as one (noPropertyAccessFromIndexSignature style)
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  { files: ["**/*.js"], ...ts.configs.disableTypeChecked },
);
