if [ "$ACTION" = rollback ]; then
    set -- rollback ${VERSION:+--version "$VERSION"}
else
    set -- deploy "$VERSION" --digest "$DIGEST" --redeploy
fi
set -- env GITHUB_STEP_SUMMARY=.git/cakravia-summary.md cakravia "$@" --reason "${REASON%%$'\n'*}" --wait 600
