"""The media types of files that the proxy serves itself, by the suffix of their names."""

from __future__ import annotations

from typing import Final

TYPES: Final = {
    "text/javascript": "js mjs",
    "text/css": "css",
    "text/html": "html htm",
    "text/plain": "txt",
    "text/xml": "xml",
    "text/x-component": "rsc",
    "application/json": "json map",
    "application/manifest+json": "webmanifest",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/x-icon": "ico",
    "font/woff2": "woff2",
    "font/woff": "woff",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
