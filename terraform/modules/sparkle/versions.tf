terraform {
  # 1.11 introduced write-only arguments, which keep secrets out of the state.
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # A module sets no upper limit; the root that calls it does.
      version = ">= 5.100.0"
    }
  }
}
