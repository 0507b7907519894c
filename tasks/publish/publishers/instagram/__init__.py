"""Instagram Reels: a container that Instagram fills by fetching our link, or with our bytes; then
one call that makes it public. Source of the facts: docs/publishers/instagram.md."""
