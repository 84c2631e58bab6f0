import { cookies } from "next/headers";

// Counts the visits of one user in a cookie.
export async function GET() {
  const kept = await cookies();
  const visits = Number(kept.get("visits")?.value ?? 0) + 1;
  kept.set("visits", String(visits));
  return Response.json({ visits });
}
