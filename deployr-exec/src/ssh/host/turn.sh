# `turn` holds the highest `<deployment> <attempt>` that has switched.

# Refuses a turn ($1, $2) that is lower.
check_turn() {
    deployment=0 attempt=0
    if [ -e "$base/turn" ]; then
        read -r deployment attempt <"$base/turn" || :
    fi
    case ${deployment:-x}${attempt:=0} in
        *[!0-9]*) die "$REFUSED" "$base/turn holds no number; write the number of the last deployment into it" ;;
    esac
    if [ "$1" -lt "$deployment" ] || { [ "$1" -eq "$deployment" ] && [ "$2" -lt "$attempt" ]; }; then
        die "$REFUSED" "deployment $1, attempt $2 comes after deployment $deployment, attempt $attempt has switched already; nothing was changed. Deploy again (or, if the store was made anew, remove $base/turn)"
    fi
}
