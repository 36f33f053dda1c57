import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["**/node_modules/", "**/dist/", "client/src/stubs/", "**/*.mjs", "**/*.js"] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // A type parameter that occurs once says what the caller expects of the other side.
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      // Interfaces of the browser have methods that are used as functions.
      "@typescript-eslint/unbound-method": "off",
    },
  },
);
