/** A style sheet as text: `build.mjs` minifies it. */
declare module "*.css" {
  const text: string;
  export default text;
}
