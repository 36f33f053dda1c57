/** The policy of the page forbids style elements and style attributes, which xterm.js writes. While a terminal is on the page, what is written into
 * them goes into style sheets and properties that scripts have made, which the policy allows. (The option `documentOverride` of xterm.js 6.0 is not
 * asked by all of its parts.) */

type Maker = (this: Document, name: string, options?: ElementCreationOptions) => HTMLElement;

const { createElement }: { readonly createElement: Maker } = Document.prototype;

/** Makes an element that takes rules as a style element does. */
function makeStyle(): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const element = createElement.call(document, "span");
  element.hidden = true;
  let rules = "";
  Object.defineProperty(element, "textContent", {
    get: () => rules,
    set: (text: string) => {
      rules = text;
      sheet.replaceSync(text);
    },
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

function makeElement(name: string, options?: ElementCreationOptions): HTMLElement {
  if (name === "style") return makeStyle();
  const element = createElement.call(document, name, options);
  element.setAttribute = (attribute: string, value: string) => {
    if (attribute === "style") element.style.cssText = value;
    else Element.prototype.setAttribute.call(element, attribute, value);
  };
  return element;
}

let terminals = 0;

/** Begins it for one more terminal. Returns what ends it. */
export function allowStyles(): () => void {
  terminals++;
  Object.defineProperty(document, "createElement", { value: makeElement, configurable: true, writable: true });
  return () => {
    terminals--;
    // What stands in the prototype is seen again.
    if (terminals === 0) Reflect.deleteProperty(document, "createElement");
  };
}
