import { createContext, type ReactNode, use, useEffect, useState } from "react";
import type { Generator } from "../client";
import { formatNumber, type Notation } from "../format/numbers";
import { formatAgo, formatSpan } from "../format/time";
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
  /** How long ago something was. */
  ago(seconds: number): string;
  /** A point in time, in the reader's zone. */
  time(text: string): string;
  day(text: string): string;
  /** The name of an item of the catalogue in the reader's language; in English if it has none in that language. */
  item(item: Named): string;
  /** The description of an item, likewise. */
  describe(item: Named): string;
}

/** What the catalogue says of a generator or an upgrade. */
type Named = Pick<Generator, "name" | "description" | "texts">;

function textOf(item: Named, language: Language): { name: string; description: string } {
  return (language === "ko" ? item.texts?.ko : undefined) ?? item;
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
    ago: (seconds) => formatAgo(seconds, m.locale),
    time: (text) => new Date(text).toLocaleString(m.locale, { dateStyle: "short", timeStyle: "short" }),
    day: (text) => new Date(text).toLocaleDateString(m.locale, { month: "short", day: "numeric" }),
    item: (item) => textOf(item, language).name,
    describe: (item) => textOf(item, language).description,
  };
  return <WordsContext value={words}>{children}</WordsContext>;
}
