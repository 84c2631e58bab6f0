"use client";

import { useState } from "react";

import { loaders } from "./loaders";

// Each click loads one more chunk that this page has never loaded before.
export default function Parts() {
  const [shown, setShown] = useState([]);
  const more = async () => {
    const { default: text } = await loaders[shown.length]();
    setShown([...shown, text]);
  };
  return (
    <>
      <button id="more" onClick={more}>
        More
      </button>
      <p id="shown">{shown.join(" ")}</p>
    </>
  );
}
