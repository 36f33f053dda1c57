_rpcserver_completion() {
    local IFS=$'\n'
    local type value

    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
        [[ $value == *= ]] && compopt -o nospace
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _RPCSERVER_COMPLETE=bash_complete "$1")
}

complete -o nosort -F _rpcserver_completion rpcserver
