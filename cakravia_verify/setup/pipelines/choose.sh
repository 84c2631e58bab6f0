# A tag of this name is released from the tag, another name from the chosen branch.
if [ "$ACTION" = rollback ]; then
    VERSION="$WANTED"
elif git rev-parse --quiet --verify "refs/tags/$WANTED^{commit}" >/dev/null; then
    VERSION="$WANTED"
    git checkout --quiet --detach "refs/tags/$WANTED"
else
    VERSION="${WANTED:-${BRANCH//\//-}-${COMMIT:0:12}}"
fi
if [ "$ACTION-$VERSION" != rollback- ] && ! [[ "$VERSION" =~ ^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$ ]]; then
    echo "the name of the version has a character that is not allowed" >&2
    exit 4
fi
