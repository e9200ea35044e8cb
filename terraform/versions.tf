terraform {
  # 1.11 introduced write-only arguments, which keep secrets out of the state.
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 6.0.0"
    }
  }

  # The state has no secrets, but losing it is costly: keep it in a bucket (docs/how-to/deploy.md).
  # backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = var.project_id
      Environment = var.unique_id
      ManagedBy   = "terraform"
    }
  }
}

variable "region" {
  description = "AWS region. Null uses the region of your AWS profile."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: use a name such as us-east-1, or leave it out to use your AWS profile's region."
  }
}
