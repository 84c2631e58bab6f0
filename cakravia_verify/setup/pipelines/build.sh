DIGEST="$(on-site cakravia build "$VERSION")"
[[ "$DIGEST" =~ ^sha256:[0-9a-f]{64}$ ]]
