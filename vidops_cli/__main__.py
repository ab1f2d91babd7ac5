from vidops_cli.cli import main

main()
