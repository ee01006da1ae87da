package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completion knows.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand(p Process) *cobra.Command {
	return &cobra.Command{
		Use:   "completion {bash|zsh|fish|powershell}",
		Short: "Print a script that completes commands and flags in a shell",
		Long: `Print a script that makes a shell complete the commands and flags of wellkey,
with their help. To try it in this shell only:

  bash        source <(wellkey completion bash)
  zsh         source <(wellkey completion zsh)
  fish        wellkey completion fish | source
  powershell  wellkey completion powershell | Out-String | Invoke-Expression

To have it in every new shell, write it to where the shell looks. Bash needs the
package bash-completion, zsh the line "autoload -U compinit; compinit" in its
~/.zshrc.`,
		Example: `  wellkey completion bash > /etc/bash_completion.d/wellkey
  wellkey completion zsh > "${fpath[1]}/_wellkey"
  wellkey completion fish > ~/.config/fish/completions/wellkey.fish`,
		ValidArgs: shells,
		Args:      oneShell,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(p.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(p.Stdout)
			case "fish":
				return root.GenFishCompletion(p.Stdout, true)
			}
			return root.GenPowerShellCompletionWithDesc(p.Stdout)
		},
	}
}

func oneShell(_ *cobra.Command, args []string) error {
	switch {
	case len(args) != 1:
		return &usageError{errors.New("completion needs the name of one shell: " + strings.Join(shells, ", "))}
	case !slices.Contains(shells, args[0]):
		return &usageError{fmt.Errorf("completion does not know the shell %q, but %s", args[0], strings.Join(shells, ", "))}
	}
	return nil
}
