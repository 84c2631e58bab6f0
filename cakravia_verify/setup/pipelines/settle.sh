# A release that was interrupted ends within seconds; one that was killed is finished or undone here.
for _ in {1..90}; do
    status=0
    on-site cakravia recover || status=$?
    [ "$status" = 12 ] || break
    sleep 2
done
