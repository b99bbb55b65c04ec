#compdef runner-prep
# Completions of runner-prep for zsh. The program itself says what fits; it is the one that PATH finds.

_runner_prep() {
    local line
    local -a said candidates shown
    said=("${(@f)$(command runner-prep __complete -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    case ${said[1]-} in
        files) _files ;;
        directories) _files -/ ;;
        words)
            for line in "${(@)said[2,-1]}"; do
                candidates+=("${line%%$'\t'*}")
                shown+=("${line%%$'\t'*}${${line#*$'\t'}:+  -- ${line#*$'\t'}}")
            done
            (( $#candidates )) && compadd -l -d shown -a candidates
            ;;
    esac
}

if [[ $funcstack[1] == _runner_prep ]]; then
    _runner_prep "$@"
else
    compdef _runner_prep runner-prep
fi
