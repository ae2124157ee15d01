import { createContext, type ReactNode, use, useEffect, useState } from "react";
import { formatNumber, type Notation } from "../format/numbers";
import { formatSpan } from "../format/time";
import { useSetting } from "../hooks";
import { en, type Messages } from "./en";

export type Language = "en" | "ko";

/** Messages, and numbers and spans as the player likes them. */
export interface Words {
  m: Messages;
  language: Language;
  setLanguage(language: Language): void;
  notation: Notation;
  setNotation(notation: Notation): void;
  number(value: number, decimal?: boolean): string;
  span(seconds: number): string;
  /** A point in time, in the reader's zone. */
  time(text: string): string;
  day(text: string): string;
  /** The name of an item in the reader's language; the catalogue's own if there is none. */
  item(id: string, fallback: string): string;
}

const WordsContext = createContext<Words | undefined>(undefined);

export function useWords(): Words {
  const words = use(WordsContext);
  if (words === undefined) throw new Error("useWords needs Words");
  return words;
}

const preferred: Language = navigator.language.startsWith("ko") ? "ko" : "en";

export function WordsProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useSetting<Language>("language", preferred);
  const [chosen, setNotation] = useSetting<Notation | "auto">("notation", "auto");
  const notation = chosen !== "auto" ? chosen : language === "ko" ? "myriads" : "short";
  const [loaded, setLoaded] = useState<{ language: Language; m: Messages }>({ language: "en", m: en });
  useEffect(() => {
    let isCurrent = true;
    const show = (m: Messages) => isCurrent && setLoaded({ language, m });
    if (language === "ko") void import("./ko").then((module) => show(module.ko));
    else show(en);
    return () => {
      isCurrent = false;
    };
  }, [language]);
  const { m } = loaded;
  useEffect(() => {
    document.documentElement.lang = loaded.language;
  }, [loaded.language]);
  const words: Words = {
    m,
    language,
    setLanguage,
    notation,
    setNotation,
    number: (value, decimal) => formatNumber(value, notation, decimal),
    span: (seconds) => formatSpan(seconds, m.units),
    time: (text) => new Date(text).toLocaleString(m.locale, { dateStyle: "short", timeStyle: "short" }),
    day: (text) => new Date(text).toLocaleDateString(m.locale, { month: "short", day: "numeric" }),
    item: (id, fallback) => m.items[id] ?? fallback,
  };
  return <WordsContext value={words}>{children}</WordsContext>;
}
