git push --quiet --force "$SITE$SITE_FOLDER" HEAD:refs/cakravia/delivered
on-site git checkout --quiet --detach refs/cakravia/delivered
