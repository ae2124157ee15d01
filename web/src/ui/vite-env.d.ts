/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** The address of the server, if it is not that of the page. */
  readonly VITE_API_URL?: string;
}
