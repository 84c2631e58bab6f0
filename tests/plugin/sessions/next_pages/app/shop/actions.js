"use server";

import { cookies } from "next/headers";

// Answers with the version that executed it, in a cookie that scripts can read.
export async function order(form) {
  const kept = await cookies();
  kept.set("ordered", `${form.get("item")}-${process.env.APP_VERSION}`);
}
